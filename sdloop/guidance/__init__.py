"""What makes one prediction of several: formulas, guiders, perturbed attention, losses."""
