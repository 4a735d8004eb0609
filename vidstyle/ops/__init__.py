"""Operations on image tensors, and the custom operators that `torch.compile` calls as they are."""
