"""What ``components`` loads with: the device, the weights, and the conversion of single files."""
