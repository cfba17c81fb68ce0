"""From a checkpoint to samples, pictures and walks."""
