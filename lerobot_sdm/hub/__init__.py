"""Publishing policies and datasets on the Hugging Face Hub, or on any server that speaks its protocol."""
