# PolicyOR of a PCR policy and a password policy; then a signed policy.
printf 'a secret' >secret
tpm2_createprimary -C o -G ecc -c primary.ctx
flush
trial() { tpm2_startauthsession -S trial.ctx && "$@" -S trial.ctx && tpm2_flushcontext trial.ctx; }
trial tpm2_policypcr -l sha256:16 -L pcr.policy
trial tpm2_policypassword -L password.policy
trial tpm2_policyor -L either.policy sha256:pcr.policy,password.policy
tpm2_create -C primary.ctx -i secret -p word -L either.policy -u seal.pub -r seal.priv -a 'fixedtpm|fixedparent'
flush
tpm2_load -C primary.ctx -u seal.pub -r seal.priv -c seal.ctx
flush
tpm2_startauthsession --policy-session -S session.ctx
tpm2_policypcr -S session.ctx -l sha256:16
tpm2_policyor -S session.ctx sha256:pcr.policy,password.policy
[ "$(tpm2_unseal -c seal.ctx -p session:session.ctx)" = 'a secret' ]
flush
tpm2_flushcontext session.ctx
tpm2_pcrevent 16 secret
tpm2_startauthsession --policy-session -S session.ctx
tpm2_policypcr -S session.ctx -l sha256:16
refused 0x1c4 tpm2_policyor -S session.ctx sha256:pcr.policy,password.policy
tpm2_policyrestart -S session.ctx
tpm2_policypassword -S session.ctx
tpm2_policyor -S session.ctx sha256:pcr.policy,password.policy
[ "$(tpm2_unseal -c seal.ctx -p session:session.ctx+word)" = 'a secret' ]
flush
tpm2_flushcontext session.ctx

openssl ecparam -name prime256v1 -genkey -noout -out signer.pem
openssl ec -in signer.pem -pubout -out signer.pub 2>openssl.log
tpm2_loadexternal -C o -G ecc -u signer.pub -c signer.ctx -n signer.name
flush
tpm2_startauthsession -S trial.ctx
tpm2_policyauthorize -S trial.ctx -L authorized.policy -n signer.name
tpm2_flushcontext trial.ctx
tpm2_create -C primary.ctx -i secret -L authorized.policy -u seal.pub -r seal.priv
flush
tpm2_load -C primary.ctx -u seal.pub -r seal.priv -c seal.ctx
flush
openssl dgst -sha256 -sign signer.pem -out policy.sig pcr.policy
tpm2_pcrreset 16
tpm2_verifysignature -c signer.ctx -g sha256 -f ecdsa -m pcr.policy -s policy.sig -t ticket
flush
tpm2_startauthsession --policy-session -S session.ctx
tpm2_policypcr -S session.ctx -l sha256:16
tpm2_policyauthorize -S session.ctx -i pcr.policy -n signer.name -t ticket
[ "$(tpm2_unseal -c seal.ctx -p session:session.ctx)" = 'a secret' ]
