"""What a fine-tuning run leaves beside its model: a report to look at and figures to keep."""
