"""The control plane of Inferway: from what people write to documents and conditions."""
