"""What pipedrive-sync keeps, and what it reads of others. Every method may raise PyMongoError."""
