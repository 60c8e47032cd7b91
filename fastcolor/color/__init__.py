"""What colour is: sRGB and CIE Lab, how networks see a photo, a photo's colours at full size, and how good they are."""
