"""What masking images by their maps does to the classifier."""
