tpm2_selftest --fulltest
tpm2_testparms rsa2048 ecc256 aes128cfb
tpm2_getcap properties-fixed | grep -A3 TPM2_PT_VENDOR_STRING_1 | grep -q 'SW'
tpm2_getcap properties-variable | grep -q TPM2_PT_PERMANENT
tpm2_getcap commands | grep -q TPM2_CC_CreatePrimary
tpm2_getcap algorithms | grep -q sha256
tpm2_getcap ecc-curves | grep -q TPM2_ECC_NIST_P256
tpm2_getcap pcrs | grep -q sha256
tpm2_getcap handles-persistent
