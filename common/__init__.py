"""What station and county share: both import it, and it imports nothing of theirs."""
