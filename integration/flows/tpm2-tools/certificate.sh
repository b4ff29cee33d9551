# The TPM completes a certificate for one of its keys that tpm2_certifyX509certutil has begun, and OpenSSL verifies it. No
# tool sends TPM2_CertifyX509, and none puts the parts together: both are done here, with bytes as hexadecimal digits.

hex() { xxd -p "$1" | tr -d '\n'; }
size() { echo $((${#1} / 2)); }

# der TAG VALUE
der() {
    length=$(size "$2")
    if [ "$length" -lt 128 ]; then
        printf '%s%02x%s' "$1" "$length" "$2"
    elif [ "$length" -lt 256 ]; then
        printf '%s81%02x%s' "$1" "$length" "$2"
    else
        printf '%s82%04x%s' "$1" "$length" "$2"
    fi
}

# take COUNT: that many bytes off $rest, into $field.
take() {
    field=$(echo "$rest" | cut -c "1-$(($1 * 2))")
    rest=$(echo "$rest" | cut -c "$(($1 * 2 + 1))-")
}

# The next TPM2B of $rest.
take_sized() {
    take 2
    take $((0x$field))
}

# The next value in DER of $rest, whole in $field.
take_der() {
    case $rest in
    ??81*) take $((0x$(echo "$rest" | cut -c 5-6) + 3)) ;;
    ??82*) take $((0x$(echo "$rest" | cut -c 5-8) + 4)) ;;
    *) take $((0x$(echo "$rest" | cut -c 3-4) + 2)) ;;
    esac
}

# What is inside of a value in DER.
inside() {
    case $1 in
    ??81*) echo "$1" | cut -c 7- ;;
    ??82*) echo "$1" | cut -c 9- ;;
    *) echo "$1" | cut -c 5- ;;
    esac
}

# An unsigned number of the TPM as an INTEGER.
integer() {
    number=$1
    while [ "$number" != "${number#00}" ]; do
        number=${number#00}
    done
    case $number in
    [89a-f]*) number=00$number ;;
    esac
    der 02 "$number"
}

tpm2_createprimary -C o -G ecc256:ecdsa-sha256 -c key.ctx \
    -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign'
tpm2_evictcontrol -C o -c key.ctx 0x81000001
flush
tpm2_readpublic -c 0x81000001 -f pem -o key.pem

tpm2_certifyX509certutil -o partial.der -d 3650 -i 'C=US;O=an organisation;CN=a key' -s 'C=US;O=an organisation;CN=a key'
partial=$(hex partial.der)
password=400000090000000000
body=8100000181000001$(printf '%08x' 18)$password$password
body=${body}00000010$(printf '%04x' "$(size "$partial")")$partial
printf '8002%08x00000197%s' $(($(size "$body") + 10)) "$body" | xxd -r -p | tpm2_send >response.bin
rest=$(hex response.bin)
take 10
case $field in
8002????????00000000) ;;
*) echo "refused: $field" && exit 1 ;;
esac
take 4

take_sized
added=$field
take_sized
digest=$field
take 4
test "$field" = 0018000b
take_sized
r=$(integer "$field")
take_sized
s=$(integer "$field")

rest=$(inside "$added")
take_der
version=$field
take_der
serial=$field
take_der
algorithm=$field
take_der
key=$field
rest=$(inside "$partial")
take_der
names=$field
take_der
names=$names$field
take_der
names=$names$field
tbs=$(der 30 "$version$serial$algorithm$names$key$rest")
echo "$tbs" | xxd -r -p >tbs.der
test "$(openssl dgst -sha256 -r tbs.der | cut -d ' ' -f 1)" = "$digest"

certificate=$(der 30 "$tbs$algorithm$(der 03 "00$(der 30 "$r$s")")")
echo "$certificate" | xxd -r -p >certificate.der
openssl x509 -inform der -in certificate.der -out certificate.pem
openssl x509 -in certificate.pem -noout -text
openssl verify -check_ss_sig -CAfile certificate.pem certificate.pem
openssl x509 -in certificate.pem -noout -pubkey >certified.pem
openssl pkey -pubin -in key.pem -outform der -out key.der
openssl pkey -pubin -in certified.pem -outform der -out certified.der
cmp key.der certified.der

# OpenSSL would have noticed another signature.
echo "$(der 30 "$tbs$algorithm$(der 03 "00$(der 30 "$s$r")")")" | xxd -r -p >forged.der
openssl x509 -inform der -in forged.der -out forged.pem
if openssl verify -check_ss_sig -CAfile forged.pem forged.pem; then
    exit 1
fi
