# profile: compat
# The anonymous signature's first half, and an ephemeral key.
tpm2_createprimary -C o -G ecc -c primary.ctx
flush
tpm2_create -C primary.ctx -G ecc256:ecdaa -u key.pub -r key.priv -c key.ctx
flush
tpm2_commit -c key.ctx --eccpoint-K K --eccpoint-L L -u E -t counter
flush
tpm2_ecephemeral -u Q -t counter ecc256
