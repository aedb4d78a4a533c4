"""What was found, for people: figures one by one, and one HTML page of all of them."""
