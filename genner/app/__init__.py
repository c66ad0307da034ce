"""What the commands do: recipe -> corpus -> objects -> fit -> scores. The only place that knows every part."""
