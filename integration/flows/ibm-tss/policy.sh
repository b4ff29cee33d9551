# A sealed secret behind PolicyPCR and PolicyAuthValue, used in one session.
tsscreateprimary -hi o -ecc nistp256
tssstartauthsession -se t
tsspolicypcr -ha 03000000 -halg sha256 -bm 10000
tsspolicyauthvalue -ha 03000000
tsspolicygetdigest -ha 03000000 -of policy
tssflushcontext -ha 03000000
printf secret >secret
tsscreate -hp 80000000 -bl -kt f -kt p -if secret -pwdk word -pol policy -opu seal.pub -opr seal.priv -uwa
tssload -hp 80000000 -ipu seal.pub -ipr seal.priv
tssstartauthsession -se p
tsspolicypcr -ha 03000000 -halg sha256 -bm 10000
tsspolicyauthvalue -ha 03000000
tssunseal -ha 80000001 -pwd word -of back -se0 03000000 1
cmp secret back
tsspcrextend -ha 16 -halg sha256 -ic something
tsspolicypcr -ha 03000000 -halg sha256 -bm 10000
tsspolicyauthvalue -ha 03000000
refused TPM_RC_POLICY_FAIL tssunseal -ha 80000001 -pwd word -of stolen -se0 03000000 1
