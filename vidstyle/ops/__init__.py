"""Operations on image tensors, colour statistics, and custom operators for ``torch.compile``."""
