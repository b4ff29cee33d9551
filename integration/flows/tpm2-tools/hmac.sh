tpm2_createprimary -C o -G ecc -c primary.ctx
printf 'the key' >key
tpm2_import -C primary.ctx -G hmac -i key -u hmac.pub -r hmac.priv
flush
tpm2_load -C primary.ctx -u hmac.pub -r hmac.priv -c hmac.ctx
flush
dd if=/dev/zero of=data bs=1000 count=3 2>dd.log
tpm2_hmac -c hmac.ctx -g sha256 -o mac data
flush
openssl dgst -sha256 -mac HMAC -macopt key:'the key' -binary -out expected data
cmp mac expected
