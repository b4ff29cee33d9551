printf 'a secret' >secret
tpm2_createprimary -C o -G ecc -c primary.ctx
flush
tpm2_create -C primary.ctx -i secret -p password -u seal.pub -r seal.priv
flush
tpm2_load -C primary.ctx -u seal.pub -r seal.priv -c seal.ctx
flush
[ "$(tpm2_unseal -c seal.ctx -p password)" = 'a secret' ]
flush
refused 0x98e tpm2_unseal -c seal.ctx -p wrong
flush
tpm2_changeauth -c seal.ctx -C primary.ctx -p password -r changed.priv another
flush
tpm2_load -C primary.ctx -u seal.pub -r changed.priv -c changed.ctx
flush
[ "$(tpm2_unseal -c changed.ctx -p another)" = 'a secret' ]
