"""What happens inside, in numbers and figures: for people who want to see it."""
