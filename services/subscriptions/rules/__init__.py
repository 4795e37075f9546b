"""What is true of packages, periods, money and the wall, whoever asks: pure functions over frozen Structs."""
