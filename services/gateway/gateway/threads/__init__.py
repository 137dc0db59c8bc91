"""Conversations: the threads of a user and the messages that they sent."""
