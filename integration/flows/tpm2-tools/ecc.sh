tpm2_createprimary -C o -G ecc384 -g sha384 -c primary.ctx
flush
tpm2_create -C primary.ctx -G ecc256:ecdsa -u key.pub -r key.priv
flush
tpm2_load -C primary.ctx -u key.pub -r key.priv -c key.ctx
flush
tpm2_readpublic -c key.ctx -f pem -o key.pem
flush
printf 'a message' >message
tpm2_sign -c key.ctx -g sha256 -f plain -o plain.sig message
flush
openssl dgst -sha256 -verify key.pem -signature plain.sig message
tpm2_create -C primary.ctx -G ecc256:ecdh -u ecdh.pub -r ecdh.priv -c ecdh.ctx
flush
tpm2_ecdhkeygen -c ecdh.ctx -u ephemeral -o secret
flush
tpm2_ecdhzgen -c ecdh.ctx -u ephemeral -o same
flush
cmp secret same
