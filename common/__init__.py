"""What station and county share: both import it, it imports neither."""
