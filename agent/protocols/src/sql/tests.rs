mod cases;
mod hostile;
