"""A trained model as a web page and an HTTP service: requests that wait are read together."""
