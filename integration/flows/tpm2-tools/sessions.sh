# HMAC sessions: salted, bound to nothing, with parameters encrypted; an audit of what was done.
tpm2_createprimary -C o -G ecc -c primary.ctx
flush
tpm2_startauthsession --hmac-session -S session.ctx --tpmkey-context primary.ctx
flush
tpm2_sessionconfig session.ctx --enable-encrypt --enable-decrypt
printf 'a secret' >secret
tpm2_create -C primary.ctx -i secret -u seal.pub -r seal.priv -P session:session.ctx
flush
tpm2_load -C primary.ctx -u seal.pub -r seal.priv -c seal.ctx -P session:session.ctx
flush
[ "$(tpm2_unseal -c seal.ctx -p session:session.ctx)" = 'a secret' ]
flush
tpm2_flushcontext session.ctx
tpm2_createek -G ecc -c ek.ctx -u ek.pub
flush
tpm2_createak -C ek.ctx -G ecc -g sha256 -s ecdsa -c ak.ctx -u ak.pub
flush
tpm2_flushcontext -l
tpm2_startauthsession --audit-session -S audit.ctx
tpm2_getrandom 8 -S audit.ctx -o random
tpm2_getsessionauditdigest -c ak.ctx -g sha256 -m audit.msg -s audit.sig -S audit.ctx -q 00
flush
tpm2_verifysignature -c ak.ctx -g sha256 -m audit.msg -s audit.sig
