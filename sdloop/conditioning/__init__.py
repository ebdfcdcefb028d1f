"""What the prompt tells the UNet: from text to one ``Conditioning``, however it came about."""
