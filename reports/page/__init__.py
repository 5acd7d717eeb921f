"""Reports as one self-contained HTML file each: nothing is loaded, nothing runs."""
