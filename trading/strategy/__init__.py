"""The strategy SDK and its library of reference strategies."""
