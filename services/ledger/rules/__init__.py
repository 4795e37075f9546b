"""The pure rules of the books: posting, earning, hashing, growth."""
