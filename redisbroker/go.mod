module github.com/rohrpost/rohrpost/redisbroker

go 1.26

require (
	github.com/redis/rueidis v1.0.79
	github.com/rohrpost/rohrpost v0.0.0
	github.com/stretchr/testify v1.12.1
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace github.com/rohrpost/rohrpost => ../
