# The orderly end of a boot may be announced any number of times.
tpm2_shutdown
tpm2_shutdown --clear
# Not announced again is the start: TPM_RC_INITIALIZE, which the tool takes for success.
tpm2_startup --clear
