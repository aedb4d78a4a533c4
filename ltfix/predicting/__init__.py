"""What a head or an export says of pictures: labels and probabilities, as they come."""
