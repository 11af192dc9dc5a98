"""Publishes policies and datasets on the Hugging Face Hub, or on any server with the same protocol."""
