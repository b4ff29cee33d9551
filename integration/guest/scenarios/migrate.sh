# A machine that is saved and goes on where it is, and then moves to another host, in the middle of a policy session. The
# host stops the machine while it pauses: what it prints afterwards comes from where it goes on.
export TPM2TOOLS_TCTI=device:/dev/tpm0
primary=0x80000000
sealed=0x80000001
secret="what this boot sealed"

unchanged() {
    [ "$(pcr 23)" = "$measured" ] || failed "PCR 23 is $(pcr 23), not $measured"
    case $(tpm2_getcap handles-transient | tr -d '\n') in
    "- $primary- $sealed") ;;
    *) failed "loaded are: $(tpm2_getcap handles-transient | tr '\n' ' ')" ;;
    esac
}

step "a secret is sealed to a PCR, and a policy session begins"
run tpm2_pcrextend "23:sha256=$(printf measured | sha256sum | cut -d ' ' -f 1)"
measured=$(pcr 23)
run tpm2_createprimary -C o -G ecc
run tpm2_startauthsession --policy-session -S session.ctx
run tpm2_policypcr -S session.ctx -l sha256:23 -L policy
printf %s "$secret" >secret
run tpm2_create -C $primary -i secret -L policy -u sealed.pub -r sealed.priv
run tpm2_load -C $primary -u sealed.pub -r sealed.priv -c sealed.ctx
unchanged
ok "PCR 23 is $measured"

step "the machine is saved, and goes on where it is"
echo "@@save"
sleep 10
unchanged
ok "PCR 23, key and sealed data are there"

step "the machine moves to another host"
echo "@@migrate"
sleep 10
unchanged
ok "PCR 23, key and sealed data are there"

step "the policy session, begun before, unseals the secret"
unsealed=$(tpm2_unseal -c $sealed -p session:session.ctx 2>errors)
[ "$unsealed" = "$secret" ] || failed "unsealed: $unsealed: $(reason)"
ok "$unsealed"
