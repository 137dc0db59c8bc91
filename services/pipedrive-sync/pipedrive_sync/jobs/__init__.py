"""What is done every so often. One turn of each is a method, so that a test can take it whenever it likes."""
