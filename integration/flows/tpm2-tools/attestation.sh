tpm2_createek -G rsa -c ek.ctx -u ek.pub
flush
tpm2_createak -C ek.ctx -G rsa -g sha256 -s rsassa -c ak.ctx -u ak.pem -f pem -n ak.name
flush
tpm2_flushcontext -l
tpm2_quote -c ak.ctx -l sha256:0,1,2+sha384:0 -q 0011 -m msg -s sig -o pcrs -g sha256
flush
tpm2_checkquote -u ak.pem -m msg -s sig -f pcrs -g sha256 -q 0011
tpm2_createprimary -C o -G ecc -c primary.ctx --creation-data creation --creation-hash hash -t ticket -d digest
flush
tpm2_certify -c primary.ctx -C ak.ctx -g sha256 -o certify.msg -s certify.sig
flush
tpm2_verifysignature -c ak.ctx -g sha256 -m certify.msg -s certify.sig
flush
tpm2_certifycreation -C ak.ctx -c primary.ctx -d digest -t ticket -g sha256 --attestation creation.msg -o creation.sig
flush
tpm2_verifysignature -c ak.ctx -g sha256 -m creation.msg -s creation.sig
flush
tpm2_gettime -c ak.ctx -g sha256 -q 00 --attestation time.msg -o time.sig
flush
tpm2_verifysignature -c ak.ctx -g sha256 -m time.msg -s time.sig
flush
tpm2_nvdefine 0x1500001 -C o -s 4 -a 'ownerread|ownerwrite|authread|authwrite'
printf four >data
tpm2_nvwrite 0x1500001 -C o -i data
tpm2_nvcertify -C ak.ctx -c o 0x1500001 -g sha256 --attestation nv.msg -o nv.sig --size 4
flush
tpm2_verifysignature -c ak.ctx -g sha256 -m nv.msg -s nv.sig
flush
printf credential >credential
tpm2_makecredential -T none -u ek.pub -s credential -n "$(xxd -p -c 99 ak.name)" -o blob
tpm2_startauthsession --policy-session -S session.ctx
tpm2_policysecret -S session.ctx -c e
tpm2_activatecredential -c ak.ctx -C ek.ctx -i blob -o out -P session:session.ctx
cmp credential out
