tpm2_createprimary -C o -G rsa2048 -c primary.ctx
flush
tpm2_create -C primary.ctx -G rsa2048 -u key.pub -r key.priv -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|decrypt|sign'
flush
tpm2_load -C primary.ctx -u key.pub -r key.priv -c key.ctx
flush
tpm2_readpublic -c key.ctx -f pem -o key.pem
flush
printf 'a message' >message
for scheme in rsassa rsapss; do
    tpm2_sign -c key.ctx -g sha256 -s $scheme -o $scheme.sig message
    flush
    tpm2_verifysignature -c key.ctx -g sha256 -m message -s $scheme.sig
    flush
done
tpm2_sign -c key.ctx -g sha256 -s rsassa -f plain -o plain.sig message
flush
openssl dgst -sha256 -verify key.pem -signature plain.sig message
for scheme in rsaes oaep; do
    tpm2_rsaencrypt -c key.ctx -s $scheme -o cipher message
    flush
    tpm2_rsadecrypt -c key.ctx -s $scheme -o plain cipher
    flush
    cmp message plain
done
openssl pkeyutl -encrypt -pubin -inkey key.pem -in message -out cipher
tpm2_rsadecrypt -c key.ctx -s rsaes -o plain cipher
flush
cmp message plain
