"""Objects in pictures: boxes, the grid in which a net tells them, and how well they are found."""
