printf secret >secret
tpm2_dictionarylockout --setup-parameters --max-tries=2 --recovery-time=1000 --lockout-recovery-time=1000
tpm2_createprimary -C o -G ecc -c primary.ctx
flush
tpm2_create -C primary.ctx -i secret -p word -u seal.pub -r seal.priv -c seal.ctx
flush
refused 0x98e tpm2_unseal -c seal.ctx -p wrong
flush
refused 0x98e tpm2_unseal -c seal.ctx -p wrong
flush
refused 0x921 tpm2_unseal -c seal.ctx -p word
flush
tpm2_dictionarylockout --clear-lockout
[ "$(tpm2_unseal -c seal.ctx -p word)" = secret ]
