// Package tokens authenticates the clients of a hub by JSON Web Tokens.
package tokens

import (
	"context"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rohrpost/rohrpost"
)

// Authenticate returns a function for Config.AuthenticateToken that takes tokens with the
// HMAC of the key, a subject and an expiry.
func Authenticate(key []byte) func(context.Context, string) (rohrpost.Identity, error) {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	return func(_ context.Context, token string) (rohrpost.Identity, error) {
		var claims jwt.RegisteredClaims
		_, err := parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return key, nil })
		if err != nil || claims.Subject == "" {
			return rohrpost.Identity{}, rohrpost.Errorf("Unauthorized")
		}
		return rohrpost.Identity{ID: claims.Subject, Expires: claims.ExpiresAt.Time}, nil
	}
}
