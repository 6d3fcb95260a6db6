"""For people who write Python: a trained model without the pipeline (docs/tutorials/python.md)."""
