"""Pictures that move: read frame by frame, and written as files with their Recipe. No torch."""

from sdloop.moving.write import check_moving, write_moving

__all__ = ["check_moving", "write_moving"]
