"""Pictures that move: read frame by frame, and written as files with their Recipe. No torch."""
