# What a TPM is for, in one boot: measurements, identity, a quote, a secret that depends on what was booted.

step "the kernel's own driver finds the TPM"
[ -c /dev/tpm0 ] || failed "no /dev/tpm0"
driver=$(basename "$(readlink -f /sys/class/tpm/tpm0/device/driver)")
tpm2_getcap properties-fixed >fixed 2>errors || failed "tpm2_getcap: $(reason)"
vendor=$(sed -n '/TPM2_PT_VENDOR_STRING_1:/,/value:/s/.*value: *//p' fixed | tr -d '"')
ok "$driver, TPM $(cat /sys/class/tpm/tpm0/tpm_version_major).0, vendor ${vendor:-unknown}"

# A machine without firmware has measured nothing.
if [ "$(argument firmware)" != none ]; then
    step "PCR 0-7 hold what the firmware measured"
    check_measured
    cat /sys/kernel/security/tpm0/binary_bios_measurements >eventlog 2>errors || failed "no event log: $(reason)"
    [ -s eventlog ] || failed "the event log is empty"
    send_file eventlog
    ok "and its event log has $(wc -c <eventlog) bytes"
fi

step "PCR 23 is extended"
digest=$(printf 'an application' | sha256sum | cut -d ' ' -f 1)
before=$(pcr 23)
run tpm2_pcrextend "23:sha256=$digest"
after=$(pcr 23)
[ "$after" = "$(sha256_hex "$before$digest")" ] || failed "PCR 23 is $after"
note "PCR 23 $after"
ok "to SHA-256 of the old value and the digest"

step "the endorsement key is made from its seed"
run tpm2_createek -c ek.ctx -G rsa -u ek.pub
ok "RSA-2048, standard template"

step "the storage root key is made and kept at 0x81000001"
run tpm2_createprimary -C o -g sha256 -G ecc256:null:aes128cfb -c srk.ctx
run tpm2_evictcontrol -C o -c srk.ctx 0x81000001
ok "ECC P-256"

step "an attestation key is made under the endorsement key"
run tpm2_createak -C ek.ctx -c ak.ctx -G ecc -g sha256 -s ecdsa -u ak.pem -f pem -n ak.name
send_file ak.pem
ok "ECC P-256, restricted"

step "a credential for that key opens only in the TPM of that endorsement key"
name=$(xxd -p ak.name | tr -d '\n')
printf 'shared secret' >credential
run tpm2_makecredential -T none -u ek.pub -s credential -n "$name" -o credential.blob
# The kernel's resource manager ends a session with the process that made it; this one lasts for several.
export TPM2TOOLS_TCTI=device:/dev/tpm0
run tpm2_startauthsession --policy-session -S session.ctx
run tpm2_policysecret -S session.ctx -c e
run tpm2_activatecredential -c ak.ctx -C ek.ctx -i credential.blob -o credential.out -P session:session.ctx
run tpm2_flushcontext session.ctx
run tpm2_flushcontext -t
export TPM2TOOLS_TCTI=device:/dev/tpmrm0
cmp -s credential credential.out || failed "another credential came out"
ok "made outside of the TPM, activated inside"

step "the attestation key quotes PCR 0-7 and 23 with the verifier's nonce"
nonce=$(argument nonce)
run tpm2_quote -c ak.ctx -l sha256:0,1,2,3,4,5,6,7,23 -q "$nonce" -g sha256 -m quote.msg -s quote.sig -o quote.pcrs
run tpm2_checkquote -u ak.pem -m quote.msg -s quote.sig -f quote.pcrs -g sha256 -q "$nonce"
send_file quote.msg
send_file quote.sig
send_file quote.pcrs
ok "verified in the guest"

step "a secret is sealed to PCR 7"
printf 'the key of a disk' >secret
run tpm2_createpolicy --policy-pcr -l sha256:7 -L policy
run tpm2_create -C 0x81000001 -i secret -L policy -u seal.pub -r seal.priv
run tpm2_load -C 0x81000001 -u seal.pub -r seal.priv -c seal.ctx
ok "under the storage root key"

step "it is unsealed while PCR 7 is as it was"
tpm2_unseal -c seal.ctx -p pcr:sha256:7 -o unsealed 2>errors || failed "tpm2_unseal: $(reason)"
cmp -s secret unsealed || failed "another secret came out"
ok "\"$(cat unsealed)\""

step "PCR 7 is extended, and unsealing is refused"
run tpm2_pcrextend "7:sha256=$digest"
tpm2_unseal -c seal.ctx -p pcr:sha256:7 -o stolen 2>errors && failed "it was unsealed"
cat errors >/dev/console
# TPM_RC_POLICY_FAIL of session 1, and nothing else.
grep -qi '0x99d' errors || failed "refused for another reason: $(reason)"
ok "TPM_RC_POLICY_FAIL"
