"""What happens to every request before and after its route. Pure ASGI: streams pass through untouched."""
