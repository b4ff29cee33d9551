tpm2_createprimary -C o -G ecc -c primary.ctx
flush
tpm2_create -C primary.ctx -G aes128cfb -u key.pub -r key.priv
flush
tpm2_load -C primary.ctx -u key.pub -r key.priv -c key.ctx
flush
printf 'a message of no particular length' >message
tpm2_encryptdecrypt -c key.ctx -o cipher message
flush
differ message cipher
tpm2_encryptdecrypt -d -c key.ctx -o plain cipher
flush
cmp message plain
