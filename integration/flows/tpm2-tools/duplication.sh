# A key moves from one parent to another; a key made outside is imported.
tpm2_createprimary -C o -G ecc -c old.ctx
flush
tpm2_createprimary -C e -G rsa2048 -c new.ctx
flush
tpm2_readpublic -c new.ctx -o new.pub
flush
tpm2_startauthsession -S trial.ctx
tpm2_policycommandcode -S trial.ctx -L duplicate.policy TPM2_CC_Duplicate
tpm2_flushcontext trial.ctx
tpm2_create -C old.ctx -G ecc256 -L duplicate.policy -u key.pub -r key.priv -a 'sensitivedataorigin|userwithauth|sign|decrypt'
flush
tpm2_load -C old.ctx -u key.pub -r key.priv -c key.ctx
flush
tpm2_loadexternal -C o -u new.pub -c newpub.ctx
flush
tpm2_startauthsession --policy-session -S session.ctx
tpm2_policycommandcode -S session.ctx TPM2_CC_Duplicate
tpm2_duplicate -C newpub.ctx -c key.ctx -G null -p session:session.ctx -r dup.priv -s dup.seed
tpm2_flushcontext session.ctx
flush
tpm2_import -C new.ctx -G ecc -u key.pub -i dup.priv -s dup.seed -r moved.priv
flush
tpm2_load -C new.ctx -u key.pub -r moved.priv -c moved.ctx
flush
openssl genrsa -out outside.pem 2048 2>openssl.log
tpm2_import -C old.ctx -G rsa -i outside.pem -u outside.pub -r outside.priv
flush
tpm2_load -C old.ctx -u outside.pub -r outside.priv -c outside.ctx
flush
printf message >message
tpm2_sign -c outside.ctx -g sha256 -s rsassa -f plain -o sig message
openssl rsa -in outside.pem -pubout -out outside.pub.pem 2>openssl.log
openssl dgst -sha256 -verify outside.pub.pem -signature sig message
