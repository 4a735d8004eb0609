"""Training of the feature network: with a teacher by distillation, else by telling images apart."""
