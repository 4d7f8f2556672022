module github.com/rohrpost/rohrpost/redisbroker

go 1.26

require (
	github.com/redis/rueidis v1.0.79
	github.com/rohrpost/rohrpost v0.0.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/gorilla/websocket v1.5.3 // indirect
	github.com/jinzhu/inflection v1.0.0 // indirect
	github.com/jinzhu/now v1.1.5 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/text v0.41.0 // indirect
	gorm.io/gorm v1.31.2 // indirect
)

replace github.com/rohrpost/rohrpost => ../
