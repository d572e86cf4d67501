"""Codes as they stand on goods, pesticides, veterinary drugs and seed, each right."""

GTIN = "06901234567892"
PESTICIDE = "1123456" + "1" + "001" + "123456789012345678901"
VET = "20250131" + "01234" + "00000000017"
SEED = "登海605\n某某种业有限公司\n45022500100000000017\nhttp://seed.example.cn/q"
